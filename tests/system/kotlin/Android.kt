// What of Android the Kotlin sample uses: declarations alone, to compile against.
@file:Suppress("unused")

package android.content.res

abstract class AssetManager {
    abstract fun open(name: String): java.io.InputStream
}
