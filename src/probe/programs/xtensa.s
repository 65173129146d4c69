# xtensa. No windows needed: no calls. No narrow instructions: not every core has them.
	.begin	no-transform
	l32i	a7, a1, 4		# argv[0]
	l8ui	a7, a7, 0
	movi	a2, 140			# geteuid
	syscall
	add	a6, a2, a7
	movi	a2, 118			# exit
	syscall
	.end	no-transform
