// hexagon.
	r16 = memw(r29+#4)		// argv[0]
	r16 = memub(r16+#0)
	r6 = #175			// geteuid
	trap0(#1)
	r0 = add(r0, r16)
	r6 = #93			// exit
	trap0(#1)
