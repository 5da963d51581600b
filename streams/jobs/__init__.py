"""What a job is: definitions, policies, outcomes and states; pure, no I/O."""
