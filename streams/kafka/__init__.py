"""The ports on Faust, aiokafka and RocksDB; alone with `streams.app` in importing Faust."""
