# fish completion for recordfsctl(1)
#
# Commands and options are those that the installed recordfsctl says it has.

function __recordfsctl_commands
    recordfsctl --help 2>/dev/null | string replace -rf '^recordfsctl ([a-z]+) ?(.*)' '$1\t$2'
end

# Options of the command on the command line, with what --help says of them.
function __recordfsctl_options
    set -l command (commandline -opc)[2]
    recordfsctl $command --help 2>/dev/null |
        string replace -rf '^ +(?:-[a-z], )?(--[a-z-]+)(=?)[^ ]* +(.*)' '$1$2\t$3'
end

function __recordfsctl_mounts
    string match -rg '^\S+ (\S+) fuse\.recordfs ' </proc/self/mounts |
        string replace -ra '\\\\([0-7]{3})' '\\\\0$1' | string unescape
end

# The words before the one that is being completed: how many, and whether they are those of a setting.
function __recordfsctl_words
    count (commandline -opc)
end

function __recordfsctl_sets
    test (__recordfsctl_words) -gt 2; and test (commandline -opc)[2] = set
end

complete -c recordfsctl -f
complete -c recordfsctl -n 'test (__recordfsctl_words) = 1' -a '(__recordfsctl_commands)'
complete -c recordfsctl -n 'test (__recordfsctl_words) = 1' -s h -l help -d 'Print a summary'
complete -c recordfsctl -n 'test (__recordfsctl_words) = 1' -s V -l version -d 'Print the version'
complete -c recordfsctl -n 'test (__recordfsctl_words) -gt 1; and string match -q -- "-*" (commandline -ct)' \
    -a '(__recordfsctl_options)'
complete -c recordfsctl -n 'test (__recordfsctl_words) -gt 1; and not __recordfsctl_sets' -F
complete -c recordfsctl -n 'test (__recordfsctl_words) -gt 1; and not __recordfsctl_sets' \
    -a '(__recordfsctl_mounts)' -d 'Mount'
complete -c recordfsctl -n __recordfsctl_sets -a 'cache_size= cache_ttl= sync=always sync=standard sync=disabled on_cache_error=eio on_cache_error=drop'
