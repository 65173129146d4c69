# i386, i486.
	mov	4(%esp), %esi		# argv[0]
	movzbl	(%esi), %ebx
	mov	$201, %eax		# geteuid32
	int	$0x80
	add	%eax, %ebx
	mov	$1, %eax		# exit
	int	$0x80
