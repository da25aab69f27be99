"""What people see of a conversion: progress and summary."""
