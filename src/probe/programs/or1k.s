# or1k.
	l.lwz	r20, 4(r1)		# argv[0]
	l.lbz	r20, 0(r20)
	l.ori	r11, r0, 175		# geteuid
	l.sys	1
	l.add	r3, r11, r20
	l.ori	r11, r0, 93		# exit
	l.sys	1
