//! What bad input gets: a clear and stable error to the one concerned, a counted metric, nobody else disturbed, and no
//! content in the log. One case each for the ways in which clients, back ends, networks and disks go wrong.

#[cfg(test)]
mod channels;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod domain;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod network;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod witness;
