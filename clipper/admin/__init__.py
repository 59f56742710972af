"""The admin client. `clipper.admin.connection` has it; importing this package imports nothing."""
