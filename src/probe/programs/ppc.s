# ppc.
	lwz	31, 4(1)		# argv[0]
	lbz	31, 0(31)
	li	0, 49			# geteuid
	sc
	add	3, 3, 31
	li	0, 1			# exit
	sc
