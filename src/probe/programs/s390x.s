# s390x.
	lg	%r8, 8(%r15)		# argv[0]
	llgc	%r8, 0(%r8)
	svc	201			# geteuid
	la	%r2, 0(%r2, %r8)
	svc	1			# exit
