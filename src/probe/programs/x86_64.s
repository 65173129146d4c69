# x86_64.
	mov	8(%rsp), %rsi		# argv[0]
	movzbl	(%rsi), %edi
	mov	$107, %eax		# geteuid
	syscall
	add	%eax, %edi
	mov	$60, %eax		# exit
	syscall
