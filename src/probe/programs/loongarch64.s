# loongarch64.
	ld.d	$s0, $sp, 8		# argv[0]
	ld.bu	$s0, $s0, 0
	ori	$a7, $zero, 175		# geteuid
	syscall	0
	add.w	$a0, $a0, $s0
	ori	$a7, $zero, 93		# exit
	syscall	0
