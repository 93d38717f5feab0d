-- Tokens of people who signed in with their firm's identity provider: by which issuer, and whether for the page alone.
alter table tokens
    add column issuer text check (length(issuer) between 1 and 1000),
    add column of_page boolean not null default false;
