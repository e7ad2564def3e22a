"""LinkedIn: organization pages and ads."""
