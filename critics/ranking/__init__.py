"""From votes to labels, pairs and order: aggregation, weights, Bradley-Terry, schedules, selection."""
