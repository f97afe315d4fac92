"""What a policy means: who may reach what, whether that is as it should be, what changes."""
