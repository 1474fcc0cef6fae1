"""What must hold of the files of a model that is trained, before its weights load and when they are saved."""
