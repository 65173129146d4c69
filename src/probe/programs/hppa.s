; hppa. The stack grows upwards; the kernel gives argv in r24. A system call is a
; branch to 0x100 of the gateway page, its number is set in the delay slot.
	ldw	0(%r24), %r3		; argv[0]
	ldb	0(%r3), %r3
	ble	0x100(%sr2, %r0)
	ldi	49, %r20		; geteuid
	add	%r28, %r3, %r26
	ble	0x100(%sr2, %r0)
	ldi	1, %r20			; exit
