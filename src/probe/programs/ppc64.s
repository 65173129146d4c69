# ppc64, ppc64le. Both say ELFv2, where e_entry is the address of the code (in ELFv1,
# that of a function descriptor).
	ld	31, 8(1)		# argv[0]
	lbz	31, 0(31)
	li	0, 49			# geteuid
	sc
	add	3, 3, 31
	li	0, 1			# exit
	sc
