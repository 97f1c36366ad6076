"""Administration > Security log and Activity: what happened, for administrators, who are themselves on record."""
