"""How a person proves who they are: with a password, or by an OpenID Connect provider; and the sessions that begin."""
