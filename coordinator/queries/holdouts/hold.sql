-- One spends a look of a family at a time: the count of the looks is looked at only after this.
select looks from holdouts where family = $1 for update
