@ arm, armeb. EABI; armeb is BE8: data is big-endian, instructions are little-endian.
	ldr	r4, [sp, #4]		@ argv[0]
	ldrb	r4, [r4]
	mov	r7, #201		@ geteuid32
	svc	#0
	add	r0, r0, r4
	mov	r7, #1			@ exit
	svc	#0
