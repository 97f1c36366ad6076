"""The product's history, and one revision that makes tables anew: people, to whom other rows refer, and a journal."""
