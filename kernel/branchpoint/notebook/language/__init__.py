"""What may stand in a cell: its own syntax beside Python, and what is offered while typing."""
