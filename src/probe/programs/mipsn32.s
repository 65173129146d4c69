# mipsn32, mipsn32el: pointers of 32 bits, as o32; system call numbers of its own.
	.set	noreorder
	lw	$16, 4($29)		# argv[0]
	li	$2, 6105		# geteuid
	lbu	$16, 0($16)
	syscall
	addu	$4, $2, $16
	li	$2, 6058		# exit
	syscall
