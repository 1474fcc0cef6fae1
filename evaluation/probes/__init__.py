"""What a policy does where the right answer is known: truth, sycophancy, refusals, conversations; and judges on the same facts."""
