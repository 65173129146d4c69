# mips, mipsel: o32.
	.set	noreorder
	lw	$16, 4($29)		# argv[0]
	li	$2, 4049		# geteuid
	lbu	$16, 0($16)
	syscall
	addu	$4, $2, $16
	li	$2, 4001		# exit
	syscall
