# mips64, mips64el: n64.
	.set	noreorder
	ld	$16, 8($29)		# argv[0]
	li	$2, 5105		# geteuid
	lbu	$16, 0($16)
	syscall
	addu	$4, $2, $16
	li	$2, 5058		# exit
	syscall
