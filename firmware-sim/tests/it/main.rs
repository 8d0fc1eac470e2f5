//! The cipher machine as its users see it: public commands, files in temporary directories, scripted entropy.

mod collision;
mod commands;
mod custody;
mod derived;
mod frames;
mod import;
mod key_pairs;
mod machine;
mod nonces;
mod openssl;
mod re_encrypt;
mod roll;
mod self_test;
mod support;
mod wrapped;
