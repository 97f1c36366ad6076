"""The operator's command line: thin functions over tenants.lifecycle and the Flask-free part of extranet."""
