create table orders (id serial primary key, what text not null);
insert into orders (what) select 'order ' || i from generate_series(1, 20000) as i;
create index on orders (what);
