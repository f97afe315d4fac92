"""What users hand in and get out."""
