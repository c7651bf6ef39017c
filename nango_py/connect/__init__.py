"""How users connect accounts: browser logins, credential forms, and the data of the connect page."""
