# microblaze, microblazeel. Neither binutils (in Debian) nor LLVM know it: words by
# hand, in the byte order of whichever assembler reads them.
# Type A: opcode << 26 | d << 21 | a << 16 | b << 11; type B: the low 16 bits are imm.
	.4byte	0xea810004		# lwi	r20, r1, 4	argv[0]
	.4byte	0xe2940000		# lbui	r20, r20, 0
	.4byte	0x318000c9		# addik	r12, r0, 201	geteuid32
	.4byte	0xb9cc0008		# brki	r14, 8
	.4byte	0x10a3a000		# addk	r5, r3, r20
	.4byte	0x31800001		# addik	r12, r0, 1	exit
	.4byte	0xb9cc0008		# brki	r14, 8
