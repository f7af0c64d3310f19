"""The intermediate representations: data types, printers, verifiers, interpreters."""
