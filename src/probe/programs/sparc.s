! sparc, sparc32plus. The stack begins with a window save area of 16 words.
	ld	[%sp + 16*4 + 4], %l0	! argv[0]
	ldub	[%l0], %l0
	mov	69, %g1			! geteuid32
	ta	0x10
	add	%o0, %l0, %o0
	mov	1, %g1			! exit
	ta	0x10
