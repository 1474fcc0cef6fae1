"""What is looked for: each check takes a scan and yields what it found."""
