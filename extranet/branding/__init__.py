"""What a company shows of itself before anybody has signed in."""
