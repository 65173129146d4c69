# xtensaeb. No packaged assembler writes the big-endian encoding: bytes by hand.
# RRI8: op0 t, s r, imm8; RRR: op0 t, s r, op1 op2 (the nibbles of xtensa, in reverse).
	.byte	0x27, 0x12, 0x01	# l32i	a7, a1, 4	argv[0]
	.byte	0x27, 0x70, 0x00	# l8ui	a7, a7, 0
	.byte	0x22, 0x0a, 0x8c	# movi	a2, 140		geteuid
	.byte	0x00, 0x05, 0x00	# syscall
	.byte	0x07, 0x26, 0x08	# add	a6, a2, a7
	.byte	0x22, 0x0a, 0x76	# movi	a2, 118		exit
	.byte	0x00, 0x05, 0x00	# syscall
