# aarch64, aarch64_be (instructions are little-endian in both).
	ldr	x9, [sp, #8]		// argv[0]
	ldrb	w9, [x9]
	mov	x8, #175		// geteuid
	svc	#0
	add	w0, w0, w9
	mov	x8, #93			// exit
	svc	#0
