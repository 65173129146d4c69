! sh4, sh4eb. The last digit of the trap says how many arguments are passed.
	mov.l	@(4,r15), r8		! argv[0]
	mov.b	@r8, r8
	mov	#100, r3
	add	#101, r3		! geteuid32: 201 does not fit into one immediate
	trapa	#0x10
	mov	r0, r4
	add	r8, r4
	mov	#1, r3			! exit
	trapa	#0x11
