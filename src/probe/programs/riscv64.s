# riscv64.
	ld	s1, 8(sp)		# argv[0]
	lbu	s1, 0(s1)
	li	a7, 175			# geteuid
	ecall
	add	a0, a0, s1
	li	a7, 93			# exit
	ecall
