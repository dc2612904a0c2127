# fish completion for recordfs(1)

# How many paths the command line has before the word that is being completed.
function __recordfs_paths
    set -l n 0
    set -l value 0
    for word in (commandline -opc)[2..]
        if test $value = 1
            set value 0
        else if test "$word" = -o
            set value 1
        else if not string match -q -- '-*' $word
            set n (math $n + 1)
        end
    end
    echo $n
end

# The last of a list of mount options is completed; what comes before it stays.
function __recordfs_mount_options
    set -l word (commandline -ct | string replace -r -- '^-o' '')
    set -l before (string match -r -- '^.*,' $word; or echo)
    for option in \
        cache_size=64M cache_size=256M cache_size=1G cache_size=4G \
        cache_ttl=0 cache_ttl=1 cache_ttl=60 cache_ttl=300 \
        sync=always sync=standard sync=disabled \
        on_cache_error=eio on_cache_error=drop \
        watch=0 watch=20 watch=100 watch=1000 max_size= sandbox=on sandbox=off \
        fault=read: fault=write: fault=commit: fault=flush: fault=cache: fault=open: \
        ro rw nonempty allow_other allow_root auto_unmount max_read= fsname= subtype= \
        dev nodev suid nosuid exec noexec sync async dirsync noatime debug
        echo $before$option
    end
end

complete -c recordfs -f
complete -c recordfs -s f -d 'Stay in the foreground'
complete -c recordfs -s d -d 'Show every request'
complete -c recordfs -s s -d 'One thread only'
complete -c recordfs -s h -l help -d 'Print a summary of the options'
complete -c recordfs -s V -l version -d 'Print the version'
complete -c recordfs -s o -x -a '(__recordfs_mount_options)' -d 'Mount option'
complete -c recordfs -n 'test (__recordfs_paths) = 0' -F
complete -c recordfs -n 'test (__recordfs_paths) = 1' -a '(__fish_complete_directories)'
