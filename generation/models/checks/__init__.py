"""What is wrong with a checkpoint's files, told before anything of it loads."""
