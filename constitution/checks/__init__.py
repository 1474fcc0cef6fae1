"""What a principle judged by rule asks of a response, and rules of the user's own."""
