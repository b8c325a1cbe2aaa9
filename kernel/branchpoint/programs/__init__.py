"""What is known of the containers' programs: their files, functions and lines."""
