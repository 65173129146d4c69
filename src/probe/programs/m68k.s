| m68k.
	move.l	4(%sp), %a0		| argv[0]
	moveq	#0, %d1
	move.b	(%a0), %d1
	move.l	#201, %d0		| geteuid32
	trap	#0
	add.l	%d0, %d1
	moveq	#1, %d0			| exit
	trap	#0
