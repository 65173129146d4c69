! sparc64. As sparc, and the stack pointer is biased by 2047.
	ldx	[%sp + 2047 + 16*8 + 8], %l0	! argv[0]
	ldub	[%l0], %l0
	mov	49, %g1			! geteuid
	ta	0x6d
	add	%o0, %l0, %o0
	mov	1, %g1			! exit
	ta	0x6d
