"""Models behind HTTP: what is asked, how it is sent, what the answers and the refusals mean."""
